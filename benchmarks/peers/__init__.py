"""What PolyLM is compared with: pinned requirements, and scripts run in environments of their own."""
