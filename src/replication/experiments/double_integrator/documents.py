"""Models of the JSON files beside the double integrator's runs, for the code that writes and that reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from replication.documents import Document


class Costs(Document):
    """Closed-loop costs of the controllers that runs are compared with."""

    backup: float
    mpc: float


class ReferenceNumbers(Document):
    """references.json: costs, sets and the residual condition, and the constants of the system."""

    costs: Costs
    cost_starts: int
    cost_horizon: int
    gain: tuple[float, float] = Field(strict=False, description="of the backup")
    spectral_radius: float = Field(description="of the backup's closed loop")
    area: float = Field(description="of the backup's invariant set O_inf")
    area_of_starts: float
    area_control_invariant: float
    gamma_lyapunov: float
    gamma_tightest: float
    state_bound: float
    input_bound: float
    stage_input_weight: float
    backup_input_weight: float
    malicious_above: float
    sharpness: float


class FinalCertificate(Document):
    """The certificate of a final policy."""

    certified: bool
    area: float
    refuted_area: float
    level: float
    covers_starts: bool
    terminal_area: float
    reasons: str = Field(description="why there is no certificate; empty where there is one")


class CertificateNumbers(Document):
    """certificate.json: the certificate of a run's final policy, and of some policies on the way."""

    arm: str
    seed: int
    rho: float
    cells: int
    final: FinalCertificate
    over_training: Sequence[Mapping[str, float]]
