"""Training: one process for each task, arm and seed."""


def dataset_of(wildcards):
    """Data set of a run; arms with the same data set share it."""
    dataset = SETTINGS.tasks[wildcards.task].arms[wildcards.arm].dataset
    return DATASET.format(task=wildcards.task, dataset=dataset, seed=wildcards.seed)


for task in TASKS:

    rule:
        """Run one arm of a task with one seed; an interrupted run goes on from its checkpoint."""
        name:
            f"train_{task.replace('-', '_')}"
        input:
            config=ARM_CONFIG,
            data=dataset_of,
            code=code("replication.training.train", tasks.MODULES[task]),
        output:
            [f"{RUN}/{name}" for name in records_of(task) + SIDECARS],
        log:
            f"{LOGS}/{{task}}/{{arm}}/seed-{{seed}}.log",
        benchmark:
            f"{LOGS}/{{task}}/{{arm}}/seed-{{seed}}.benchmark.tsv"
        wildcard_constraints:
            task=task,
        threads: 1
        params:
            folder=RUN,
            checkpoint=f"{RUN}.checkpoint",  # beside the outputs: those of a failed job are removed
        message:
            "Training: {wildcards.task}, {wildcards.arm}, seed {wildcards.seed}"
        shell:
            "{PYTHON} -m replication train --config {input.config} --task {wildcards.task} --arm {wildcards.arm}"
            " --seed {wildcards.seed} --data {input.data} --out {params.folder} --checkpoint {params.checkpoint}"
            " > {log} 2>&1"
