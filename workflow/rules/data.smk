"""The configuration of the scale, and the data sets."""


localrules:
    config,


rule config:
    """Check the scale's settings and write all of them to one file."""
    input:
        scale=ancient(SCALE_FILE),  # params hold its content, so that an edited comment changes nothing
    output:
        CONFIG,
    log:
        f"{LOGS}/config.log",
    benchmark:
        f"{LOGS}/config.benchmark.tsv"
    params:
        content=scales.digest(SETTINGS),
    message:
        f"Checking the configuration of scale {SCALE}"
    shell:
        "{PYTHON:q} -m replication config --scale-file {input.scale} --set={SET:q} --out {output} > {log} 2>&1"


rule dataset:
    """Draw one data set of an experiment."""
    input:
        scale=ancient(SCALE_FILE),  # params hold the settings that this job reads
    output:
        data=DATASET,
        stamp=DATASET.replace(".npz", ".stamp.json"),
    log:
        f"{LOGS}/{{experiment}}/data/{{dataset}}/seed-{{seed}}.log",
    benchmark:
        f"{LOGS}/{{experiment}}/data/{{dataset}}/seed-{{seed}}.benchmark.tsv"
    resources:
        **needs("dataset"),
    params:
        settings=lambda wildcards: dataset_settings(wildcards.experiment, wildcards.dataset),
        code=lambda wildcards: code_digest("replication.training.datasets", tasks.MODULES[wildcards.experiment]),
    message:
        "Drawing data: {wildcards.experiment}, {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "{PYTHON:q} -m replication dataset --scale-file {input.scale} --set={SET:q} --planned {params.settings}"
        " --experiment {wildcards.experiment} --dataset {wildcards.dataset}"
        " --seed {wildcards.seed} --out {output.data} > {log} 2>&1"
