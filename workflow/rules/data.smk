"""The configuration, whole and as each job reads it, and the data sets."""


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
    threads: 1
    params:
        content=scales.digest(SETTINGS),
    message:
        f"Checking the configuration of scale {SCALE}"
    shell:
        "{PYTHON} -m replication config --scale-file {input.scale} --set={SET:q} --out {output} > {log} 2>&1"


rule arm_config:
    """Write down what runs of one arm read of the configuration."""
    input:
        scale=ancient(SCALE_FILE),
    output:
        ARM_CONFIG,
    log:
        f"{LOGS}/{{experiment}}/{{arm}}/config.log",
    benchmark:
        f"{LOGS}/{{experiment}}/{{arm}}/config.benchmark.tsv"
    threads: 1
    params:
        content=lambda wildcards: scales.digest(scales.for_arm(SETTINGS, wildcards.experiment, wildcards.arm)),
    message:
        "Settings: {wildcards.experiment}, {wildcards.arm}"
    shell:
        "{PYTHON} -m replication config --scale-file {input.scale} --set={SET:q}"
        " --experiment {wildcards.experiment} --arm {wildcards.arm} --out {output} > {log} 2>&1"


rule dataset_config:
    """Write down what drawing one data set reads of the configuration."""
    input:
        scale=ancient(SCALE_FILE),
    output:
        DATASET_CONFIG,
    log:
        f"{LOGS}/{{experiment}}/data/{{dataset}}/config.log",
    benchmark:
        f"{LOGS}/{{experiment}}/data/{{dataset}}/config.benchmark.tsv"
    threads: 1
    params:
        content=lambda wildcards: scales.digest(scales.for_dataset(SETTINGS, wildcards.experiment, wildcards.dataset)),
    message:
        "Settings: {wildcards.experiment}, data set {wildcards.dataset}"
    shell:
        "{PYTHON} -m replication config --scale-file {input.scale} --set={SET:q}"
        " --experiment {wildcards.experiment} --dataset {wildcards.dataset} --out {output} > {log} 2>&1"


rule dataset:
    """Draw one data set of an experiment."""
    input:
        config=DATASET_CONFIG,
        code=lambda wildcards: code("replication.training.datasets", tasks.MODULES[wildcards.experiment]),
    output:
        data=DATASET,
        provenance=DATASET.replace(".npz", ".stamp.json"),
    log:
        f"{LOGS}/{{experiment}}/data/{{dataset}}/seed-{{seed}}.log",
    benchmark:
        f"{LOGS}/{{experiment}}/data/{{dataset}}/seed-{{seed}}.benchmark.tsv"
    threads: 1
    message:
        "Drawing data: {wildcards.experiment}, {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "{PYTHON} -m replication dataset --config {input.config} --experiment {wildcards.experiment} --dataset {wildcards.dataset}"
        " --seed {wildcards.seed} --out {output.data} > {log} 2>&1"
