"""The explorer: the results as one page of HTML to look at, which needs neither a server nor a network.

Python collects what the page shows; page.html is its frame, page.css its look, and the .js files draw, one for each
view.  The numbers are those of the result files: the page computes closed loops, and no statistics.
"""
