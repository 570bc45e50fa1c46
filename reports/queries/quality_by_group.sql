-- Answers right in percent by group size and top-k, beside dense
SELECT model, kernels, tokens, group_size AS "group", top_k, hop1_right, hop1_asked, hop1_percent,
       hop2_right, hop2_asked, hop2_percent, hop2_points_vs_dense, bits_per_byte,
       bits_per_byte_vs_dense, mass_covered, overlap, hop1_right || ' of ' || hop1_asked AS hop1,
       hop2_right || ' of ' || hop2_asked AS hop2
FROM quality
ORDER BY model, kernels, tokens, top_k, group_size;
