"""The set-based certificate, which the paper has not: a proof of safety and convergence for whole sets of starts."""

from replication.certificate.cells import ClosedLoop
from replication.certificate.certify import Certificate, certify
from replication.certificate.terminal_set import Ellipsoid

__all__ = ["Certificate", "ClosedLoop", "Ellipsoid", "certify"]
