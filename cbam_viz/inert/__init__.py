"""What a PyTorch file says, without doing any of it: no torch, nothing called, nothing imported.

A pickle is a program that builds objects. Here it is run on a machine that has no objects: what it
would import, call or construct becomes a node that says so (`machine`). The file around it is a zip
or the older layout (`container`). What comes out can leave a process as text (`transport`). What
nodes mean, and tensors, is the business of `cbam_viz.models`.
"""
