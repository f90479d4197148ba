"""What Prometheus is told, however it is handed over: the metrics and their families."""
