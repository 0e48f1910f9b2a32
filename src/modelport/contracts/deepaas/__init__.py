"""DEEPaaS V2: models behind entry points of the group ``deepaas.v2.model``."""
