"""Holds what tensor_file_test.cc wrote against Python's safetensors.

usage: tensor_file_oracle.py FILE
"""
import sys

from safetensors import safe_open

with safe_open(sys.argv[1], framework="pt") as file:
    read = {name: file.get_tensor(name) for name in file.keys()}
    metadata = file.metadata()
assert read["networks/weight"].tolist() == [[0, 1, 2], [3, 4, 5]] and str(read["networks/weight"].dtype) == "torch.float32"
assert read["count"].item() == 7 and str(read["count"].dtype) == "torch.int64" and read["count"].shape == ()
assert read["empty"].shape == (0, 4)
assert read["wide"].tolist() == [0.1, -0.0] and str(read["wide"].dtype) == "torch.float64"
assert read["bytes"].tolist() == [1, 255, 0] and str(read["bytes"].dtype) == "torch.uint8"
assert metadata["engine"] == '12 "quoted" \n words' and len(metadata["xxh3_64"]) == 16
