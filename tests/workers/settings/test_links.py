"""Tables lead to MLflow's own pages where ops.yaml says where those are; else they are as they were."""

import pytest

from workers.settings import Ops
from workers.settings.links import Links
from workers.wording import linked


@pytest.mark.parametrize("address", ["https://mlflow.example", "https://mlflow.example/", "https://x.example/ml/flow/"])
def test_each_page_has_its_address(address):
    links = Ops.model_validate({"links": {"mlflow": address}}).links
    base = address.rstrip("/")
    assert links.experiment("7") == f"{base}/#/experiments/7"
    assert links.run("7", "0a1b") == f"{base}/#/experiments/7/runs/0a1b"
    assert links.model("price model/eu") == f"{base}/#/models/price%20model%2Feu"


def test_without_an_address_nothing_leads_anywhere():
    assert Links().experiment("7") == ""
    assert type(linked("churn", Links().experiment("7"))) is str


@pytest.mark.parametrize("address", ["mlflow.example", "ftp://mlflow.example", "javascript:alert(1)"])
def test_what_is_no_address_of_a_page_stops_the_start(address):
    with pytest.raises(ValueError, match="links"):
        Ops.model_validate({"links": {"mlflow": address}})
