"""The national document axis ("trục liên thông văn bản quốc gia"), behind the hub's ports."""
