"""What a person reads in the ops channel."""

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL


def now(person, message):
    """A message as it reads at this moment."""
    return next(each for each in person.messages(OPS_CHANNEL) if each["ts"] == message["ts"])
