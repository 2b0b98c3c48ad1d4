"""JupyterHub's side: thin classes that gather inputs, make one pure call and apply the result."""
