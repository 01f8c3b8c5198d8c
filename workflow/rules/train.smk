"""Training: one process for each experiment, arm and seed."""


def dataset_of(wildcards):
    """Data set of a run; arms with the same data set share it."""
    dataset = SETTINGS.experiments[wildcards.experiment].arms[wildcards.arm].dataset
    return DATASET.format(experiment=wildcards.experiment, dataset=dataset, seed=wildcards.seed)


for experiment in EXPERIMENTS:

    rule:
        """Run one arm of an experiment with one seed; an interrupted run continues from its checkpoint."""
        name:
            f"train_{experiment.replace('-', '_')}"
        input:
            scale=ancient(SCALE_FILE),  # params hold the settings that this job reads
            data=dataset_of,
        output:
            [f"{RUN}/{name}" for name in records_of(experiment) + STAMPS],
        log:
            f"{LOGS}/{{experiment}}/{{arm}}/seed-{{seed}}.log",
        benchmark:
            f"{LOGS}/{{experiment}}/{{arm}}/seed-{{seed}}.benchmark.tsv"
        wildcard_constraints:
            experiment=experiment,
        resources:
            **needs(f"train_{experiment.replace('-', '_')}"),
        params:
            settings=lambda wildcards: arm_settings(wildcards.experiment, wildcards.arm),
            code=code_digest("replication.training.train", tasks.MODULES[experiment]),
            folder=RUN,
            checkpoint=f"{RUN}.checkpoint",  # outside the outputs, which Snakemake removes when a job fails
        message:
            "Training: {wildcards.experiment}, {wildcards.arm}, seed {wildcards.seed}"
        shell:
            "{PYTHON:q} -m replication train --scale-file {input.scale} --set={SET:q} --planned {params.settings}"
            " --experiment {wildcards.experiment} --arm {wildcards.arm}"
            " --seed {wildcards.seed} --data {input.data} --out {params.folder} --checkpoint {params.checkpoint}"
            " > {log} 2>&1"
