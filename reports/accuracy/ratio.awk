# What sharing gains in a layer: full over shared at equal shape, predicted against measured. Reads the
# rows that `clsa validate --op dsa_layer_decode --predictions` writes; batches above 256 are no target.
BEGIN { FS = "," }
FNR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
$c["batch"] <= 256 {
    model = $c["model"]
    sub(/GLM-5\.2/, "GLM-5", model) # the shared layers of GLM-5.2 have the shapes of GLM-5's full ones
    key = model "," $c["gemm_dtype"] "," $c["kv_dtype"] "," $c["num_heads"] "," $c["batch"] \
        "," $c["context"]
    if ($c["layer_kind"] == "full") { fm[key] = $c["latency_us"]; fp[key] = $c["predicted_us"] }
    else { sm[key] = $c["latency_us"]; sp[key] = $c["predicted_us"] }
}
END {
    for (k in fm) if (k in sm) {
        e = (fp[k] / sp[k]) / (fm[k] / sm[k]) - 1
        bias += e; if (e < 0) e = -e
        sum += e; n++
    }
    printf "%d pairs, mean error of full/shared %.2f %%, bias %.2f %%\n", n, 100 * sum / n, 100 * bias / n
}
