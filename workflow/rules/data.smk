"""The configuration, whole and as each job reads it, and the data sets."""


rule config:
    """Lay the profile over the defaults, check it and write it down."""
    input:
        profile=ancient(PROFILE_FILE),  # a comment edited there changes nothing: its content is in params
    output:
        CONFIG,
    log:
        f"{LOGS}/config.log",
    benchmark:
        f"{LOGS}/config.benchmark.tsv"
    threads: 1
    params:
        content=profiles.digest(SETTINGS),
    message:
        f"Checking the configuration of profile {PROFILE}"
    shell:
        "{PYTHON} -m replication config --profile-file {input.profile} --set={SET:q} --out {output} > {log} 2>&1"


rule arm_config:
    """Write down what runs of one arm read of the configuration."""
    input:
        profile=ancient(PROFILE_FILE),
    output:
        ARM_CONFIG,
    log:
        f"{LOGS}/{{task}}/{{arm}}/config.log",
    benchmark:
        f"{LOGS}/{{task}}/{{arm}}/config.benchmark.tsv"
    threads: 1
    params:
        content=lambda wildcards: profiles.digest(profiles.for_arm(SETTINGS, wildcards.task, wildcards.arm)),
    message:
        "Settings: {wildcards.task}, {wildcards.arm}"
    shell:
        "{PYTHON} -m replication config --profile-file {input.profile} --set={SET:q}"
        " --task {wildcards.task} --arm {wildcards.arm} --out {output} > {log} 2>&1"


rule dataset_config:
    """Write down what drawing one data set reads of the configuration."""
    input:
        profile=ancient(PROFILE_FILE),
    output:
        DATASET_CONFIG,
    log:
        f"{LOGS}/{{task}}/data/{{dataset}}/config.log",
    benchmark:
        f"{LOGS}/{{task}}/data/{{dataset}}/config.benchmark.tsv"
    threads: 1
    params:
        content=lambda wildcards: profiles.digest(profiles.for_dataset(SETTINGS, wildcards.task, wildcards.dataset)),
    message:
        "Settings: {wildcards.task}, data set {wildcards.dataset}"
    shell:
        "{PYTHON} -m replication config --profile-file {input.profile} --set={SET:q}"
        " --task {wildcards.task} --dataset {wildcards.dataset} --out {output} > {log} 2>&1"


rule dataset:
    """Draw one data set of a task."""
    input:
        config=DATASET_CONFIG,
        code=lambda wildcards: code("replication.training.datasets", tasks.MODULES[wildcards.task]),
    output:
        data=DATASET,
        provenance=DATASET.replace(".npz", ".provenance.json"),
    log:
        f"{LOGS}/{{task}}/data/{{dataset}}/seed-{{seed}}.log",
    benchmark:
        f"{LOGS}/{{task}}/data/{{dataset}}/seed-{{seed}}.benchmark.tsv"
    threads: 1
    message:
        "Drawing data: {wildcards.task}, {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "{PYTHON} -m replication dataset --config {input.config} --task {wildcards.task} --dataset {wildcards.dataset}"
        " --seed {wildcards.seed} --out {output.data} > {log} 2>&1"
