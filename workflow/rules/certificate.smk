"""The double integrator: costs and sets to compare runs with, and set-based certificates of finished runs."""

REFERENCES = f"{RESULTS}/double-integrator/references.json"
CERTIFICATE = f"{RUN.format(experiment='double-integrator', arm='{arm}', seed='{seed}')}/certificate.json"


def all_references():
    """Files with the costs of backup and MPC and the sets, if the scale runs the double integrator."""
    return [REFERENCES, REFERENCES.replace(".json", ".npz")] if "double-integrator" in EXPERIMENTS else []


def all_certificates():
    """Certificates of the first seeds of every arm; the scale states how many."""
    settings = SETTINGS.double_integrator
    if settings is None or settings.certificate is None:
        return []
    return [
        CERTIFICATE.format(arm=arm, seed=seed).replace(".json", suffix)
        for arm, chosen in settings.arms.items()
        for seed in chosen.seed_range[: settings.certificate.seeds]
        for suffix in (".json", ".npz")
    ]


def certificate_options(wildcards):
    """Options of `replicate certify` for one arm."""
    settings = SETTINGS.double_integrator.for_arm(wildcards.arm)
    chosen = settings.certificate
    return (
        f"--cells {chosen.cells} --cells-over-training {chosen.cells_over_training}"
        f" --iterates {chosen.iterates} --rho {settings.rho}"
    )


rule references:
    """Compute costs of backup and MPC, invariant sets, and the residual condition of the backup."""
    input:
        config=CONFIG,
        code=code("replication.experiments.double_integrator.references"),
    output:
        REFERENCES,
        REFERENCES.replace(".json", ".npz"),
        REFERENCES.replace(".json", ".stamp.json"),
    log:
        f"{LOGS}/double-integrator/references.log",
    benchmark:
        f"{LOGS}/double-integrator/references.benchmark.tsv"
    resources:
        **needs("references"),
    message:
        "Computing costs of backup and MPC, and invariant sets"
    shell:
        "{PYTHON:q} -m replication references --config {input.config} --out {output[0]} > {log} 2>&1"


rule certificate:
    """Certify the final policy of a run, and some policies saved during its training."""
    input:
        weights=CERTIFICATE.replace("certificate.json", "weights.npz"),
        summary=CERTIFICATE.replace("certificate.json", "run.json"),
    output:
        CERTIFICATE,
        CERTIFICATE.replace(".json", ".npz"),
        CERTIFICATE.replace(".json", ".timing.json"),
        CERTIFICATE.replace(".json", ".stamp.json"),
    log:
        f"{LOGS}/double-integrator/{{arm}}/seed-{{seed}}.certificate.log",
    benchmark:
        f"{LOGS}/double-integrator/{{arm}}/seed-{{seed}}.certificate.benchmark.tsv"
    resources:
        **needs("certificate"),
    params:
        folder=subpath(input.weights, parent=True),
        options=certificate_options,
        code=code_digest("replication.experiments.double_integrator.certificates"),
    message:
        "Certifying: double-integrator, {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "{PYTHON:q} -m replication certify --run {params.folder} {params.options} --out {output[0]} > {log} 2>&1"
