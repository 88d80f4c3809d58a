"""What others need to test their parts against ours: contract suites and a model that does as it is told.

Inherit a contract in a test module of your own, give it the fixture it names, and pytest runs it. It needs
``pytest`` and ``pytest-aiohttp`` (or any plugin that runs ``async def`` tests).
"""
