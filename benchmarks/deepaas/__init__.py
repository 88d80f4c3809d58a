"""DEEPaaS beside deepaas_core: the same model, the same requests, both answers."""
