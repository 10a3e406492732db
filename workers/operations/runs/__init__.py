"""MLflow's runs: searched, shown, compared, tagged, archived and brought back."""
