"""One folder for each page of the navigation; its `page` module has a function `page(scene)`."""
