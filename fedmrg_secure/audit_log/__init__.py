"""What happened, provably: tamper-evident logs, written by each party and checked offline."""

from fedmrg_secure.audit_log.checkpoint import log_origin
from fedmrg_secure.audit_log.log import AuditLog
from fedmrg_secure.audit_log.recompute import LogInvalid, VerifiedLog, verify_log
from fedmrg_secure.audit_log.verify import verify_run

__all__ = ["AuditLog", "LogInvalid", "VerifiedLog", "log_origin", "verify_log", "verify_run"]
