"""What PolyLM is compared with: pinned requirements, and scripts for their environments."""
