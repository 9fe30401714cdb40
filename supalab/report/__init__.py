"""Results as people read them: numbers in words (``format``), tables (``table``) and figures (``plot``)."""
