"""The commands of DEEPaaS: ``deepaas-run``, ``deepaas-cli`` and ``deepaas-predict``.

They take what DEEPaaS took, from the same places, and do it with our own parts. What DEEPaaS did in silence is said:
there is no test model that takes the place of one that is missing.
"""
