"""What a person reads in the ops channel."""

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import words

SECONDS = 90


def now(person, message):
    """A message as it reads at this moment."""
    return next(each for each in person.messages(OPS_CHANNEL) if each["ts"] == message["ts"])


def answered(person, text, said, deadline=SECONDS):
    """The root message of a command, once it says so; what an earlier one said does not count."""
    known = {message["ts"] for message in person.messages(OPS_CHANNEL)}
    assert person.command(OPS_CHANNEL, f"/mlflow {text}").ok

    def fresh():
        new = (message for message in person.messages(OPS_CHANNEL) if message["ts"] not in known)
        return next((message for message in new if said in words(message)), None)

    return person.wait_for(fresh, deadline=deadline)
