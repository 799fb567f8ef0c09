"""EagleRay: continual anomaly detection for production lines, as mixtures of experts on Ray."""

__version__ = "0.1.0"
