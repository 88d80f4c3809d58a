"""The program that runs one model in a process of its own.

It is started by path, by whichever interpreter the model needs (Python 3.9 or newer), so it uses the standard library
only and never imports the server's package: a model's environment need not contain it. Its modules therefore know
each other by relative imports alone; ``__main__`` gives them a package to be in.
"""
