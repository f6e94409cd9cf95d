"""The audit of DEAM: what a copy holds, what is wrong with it, what to do about it."""

from __future__ import annotations

from affekt.data.audit.deam import audit_artists, audit_deam
from affekt.data.audit.records import DeamAudit, Finding

__all__ = ["DeamAudit", "Finding", "audit_artists", "audit_deam"]
