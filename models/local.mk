MODELS = \
  models/README.md \
  models/clsa-0.6b.json models/clsa-4b.json \
  models/clsa-byte-5m.json models/clsa-byte-5m.safetensors \
  models/deepseek-v3.2.json models/glm-5.json models/glm-5.2.json \
  models/tasks.json models/tasks.safetensors \
  models/yoco-3b.json
nobase_dist_pkgdata_DATA += $(MODELS)
EXTRA_DIST += tests/golden/golden.safetensors tests/golden/golden_long.safetensors \
  tests/golden/tasks_small.safetensors
