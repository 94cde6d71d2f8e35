"""A cluster on this machine, without Docker: two machines with web and worker each, behind one nginx with TLS.

PostgreSQL, Redis, nginx and the store are real, and stand where other machines would. `make cluster` runs it; tests
take `Cluster` from here, and kill and slow down what they like.
"""
