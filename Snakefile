"""The SCPO replication, from configuration to the report's PDF.

snakemake --profile profiles/default                           the paper scale
snakemake --profile profiles/default --config scale=smoke    the same with tiny budgets
... --config from=shipped                                      figures and tables of the shipped results, no training
... --config set="regression.schedule.updates_per_epoch=10"    single settings changed (config/default.yaml has all)

config -> data sets -> training (experiment x arm x seed) -> certificates, referee -> quantities ->
claims, notebooks, figures, tables, numbers -> PDF, page
"""

from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/common.smk"
include: "workflow/rules/runs.smk"


if FROM:

    include: "workflow/rules/shipped.smk"

else:

    include: "workflow/rules/data.smk"
    include: "workflow/rules/train.smk"
    include: "workflow/rules/certificate.smk"
    include: "workflow/rules/stationarity.smk"
    include: "workflow/rules/referee.smk"
    include: "workflow/rules/planted_faults.smk"


include: "workflow/rules/quantities.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/html.smk"
include: "workflow/rules/page.smk"
include: "workflow/rules/progress.smk"


report: "workflow/report/workflow.rst"


# on a cluster, these run where Snakemake does: they are over in seconds, and TeX may be nowhere else
localrules:
    all,
    quantities,
    claims,
    figure,
    numbers,
    check_report,
    pdf,
    claims_page,
    gallery,
    explorer,


workflow.localrules(*parts.tables_by_rule(SETTINGS))


rule all:
    """Everything that the scale makes."""
    default_target: True
    input:
        all_notebooks(),
        [] if FROM else all_records(),  # so that one that was deleted is made again
        all_report_parts(),
        CLAIMS_PAGE,
        GALLERY,
        all_pdfs(),
        EXPLORER,
    message:
        f"Scale {SCALE}: done, results in {RESULTS}/"
