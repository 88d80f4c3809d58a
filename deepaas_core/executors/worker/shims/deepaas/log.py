"""Loggers, as DEEPaaS hands them out."""

import logging

LOG = logging.getLogger("deepaas")
getLogger = logging.getLogger
