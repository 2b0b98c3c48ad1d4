"""Configuration of Sphinx: `make docs` builds these pages, and every warning is an error."""

from jhk8s_ext import __version__

project = "jhk8s-ext"
project_copyright = "the jhk8s-ext contributors"
version = release = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True

myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "jhk8s-ext"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
# There is one page per topic and no left-out source: the theme needs nothing from elsewhere.
html_copy_source = False
html_show_sourcelink = False
