"""The configuration of the scale, and the data sets."""


rule config:
    """Lay the scale over the defaults, check it and write it down."""
    input:
        scale=ancient(SCALE_FILE),  # a comment edited there changes nothing: its content is in params
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
        scale=ancient(SCALE_FILE),  # the settings that this job reads are in params
        code=lambda wildcards: code("replication.training.datasets", tasks.MODULES[wildcards.experiment]),
    output:
        data=DATASET,
        stamp=DATASET.replace(".npz", ".stamp.json"),
    log:
        f"{LOGS}/{{experiment}}/data/{{dataset}}/seed-{{seed}}.log",
    benchmark:
        f"{LOGS}/{{experiment}}/data/{{dataset}}/seed-{{seed}}.benchmark.tsv"
    params:
        settings=lambda wildcards: dataset_settings(wildcards.experiment, wildcards.dataset),
    message:
        "Drawing data: {wildcards.experiment}, {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "{PYTHON:q} -m replication dataset --scale-file {input.scale} --set={SET:q} --planned {params.settings}"
        " --experiment {wildcards.experiment} --dataset {wildcards.dataset}"
        " --seed {wildcards.seed} --out {output.data} > {log} 2>&1"
