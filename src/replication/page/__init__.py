"""The explorer: one HTML page that shows the results and needs neither a server nor a network.

Python collects the data of the page; page.html is its frame, page.css its look, and the .js files draw, one for each
view.  The numbers are those of the result files: the page computes closed loops, and no statistics.
"""
