"""The acceptance run of the Helm chart on a real Kubernetes; see `python -m k8s --help`."""
