"""The set-based certificate: a proof of safety and convergence for whole sets of starts (R, beyond the paper)."""

from replication.certificate.cells import ClosedLoop
from replication.certificate.certify import Certificate, certify
from replication.certificate.terminal_set import Ellipsoid

__all__ = ["Certificate", "ClosedLoop", "Ellipsoid", "certify"]
