"""Set-based certificate: a proof of safety and convergence for whole sets of starts (R, beyond the paper)."""

from scpo.certificate.cells import ClosedLoop
from scpo.certificate.certify import Certificate, certify
from scpo.certificate.local import Ellipsoid

__all__ = ["Certificate", "ClosedLoop", "Ellipsoid", "certify"]
