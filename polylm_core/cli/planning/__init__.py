"""`polylm plan`: what a run takes and costs, before it takes or costs anything."""
