"""The programs behind the figures in docs/ and RESULTS.md.

plan_scale.py dispatch_scale.py    what planning and driving cost
quantization_error.py              how far each precision is from fp32
comparison/                        the parts of jobs/benchmark.py, which compares whole systems
"""
