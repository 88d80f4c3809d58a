"""From a folder to what can be deployed: reading ``service.toml``, freezing archives, building environments."""
