"""Client of a running EagleRay service: one picture a request, many requests at once, answers in order."""

from eagleray.service_client.answers import Route, Scored, ServedModel
from eagleray.service_client.client import ServiceClient

__all__ = ["Route", "Scored", "ServedModel", "ServiceClient"]
