"""A ValidatingAdmissionPolicy as an API server evaluates it, by Google's own CEL.

Objects are untyped in expressions, a variable sees those before it, and an expression that fails refuses
(https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/).
"""

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

_NAMES = ("object", "oldObject", "request", "params", "variables")
_ENV = cel.NewEnv(
    variables=dict.fromkeys(_NAMES, cel.Type.DYN), extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional()]
)


class Policy:
    """Compiled; one that is no CEL raises at once."""

    def __init__(self, document):
        spec = document["spec"]
        assert spec["failurePolicy"] == "Fail"
        self._conditions = [_ENV.compile(each["expression"]) for each in spec.get("matchConditions", ())]
        self._variables = [(each["name"], _ENV.compile(each["expression"])) for each in spec.get("variables", ())]
        self._validations = [(each["message"], _ENV.compile(each["expression"])) for each in spec["validations"]]

    @property
    def messages(self):
        """Of all its rules."""
        return [message for message, _ in self._validations]

    def concerns(self, request):
        """Whether it looks at that request at all."""
        return all(_true(each, {"request": request}) for each in self._conditions)

    def refusals(self, request, wanted, *, before=None, params=None):
        """The messages of what it refuses; none where it lets the request pass."""
        if not self.concerns(request):
            return []
        given = {"request": request, "object": wanted, "oldObject": before or {}, "params": params or {}}
        known = given["variables"] = {}
        for name, expression in self._variables:
            found = expression.eval(data=given)
            if found.type() != cel.Type.ERROR:
                known[name] = found.plain_value()
        return [message for message, expression in self._validations if not _true(expression, given)]


def _true(expression, given):
    found = expression.eval(data=given)
    return found.type() == cel.Type.BOOL and found.plain_value() is True
