"""Where people look further: pages of others, as a person's browser reaches them. Never fetched by us."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import Field

from workers.settings.values import HttpUrl, Section


class Links(Section):
    """Addresses as people open them; none: nothing leads there."""

    mlflow: HttpUrl | None = Field(
        None, description="MLflow's own pages, as behind the Ingress: https://mlflow.example"
    )
    grafana: HttpUrl | None = Field(None, description="the dashboard of deploy/grafana, or one of your own")

    def experiment(self, experiment_id: str) -> str:
        """MLflow's page of an experiment; empty where nobody says where that is. So are those below."""
        return self._page(f"experiments/{quote(experiment_id, safe='')}")

    def run(self, experiment_id: str, run_id: str) -> str:
        """MLflow's page of a run."""
        return self._page(f"experiments/{quote(experiment_id, safe='')}/runs/{quote(run_id, safe='')}")

    def model(self, name: str) -> str:
        """MLflow's page of a registered model."""
        return self._page(f"models/{quote(name, safe='')}")

    def _page(self, place: str) -> str:
        return f"{str(self.mlflow).rstrip('/')}/#/{place}" if self.mlflow else ""
