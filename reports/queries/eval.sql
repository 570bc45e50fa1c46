-- Answers right with the columns of clsa eval; :run limits them to one run
SELECT tokens, group_size AS "group", top_k, hop1_right, hop1_asked, hop2_right, hop2_asked,
       bits_per_byte, mass_covered
FROM quality
WHERE :run IS NULL OR run_id = :run
ORDER BY model, kernels, tokens, group_size, top_k;
