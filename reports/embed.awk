# Turns the files named on the command line into the table of reports/query.h.
function quote(s) {
    gsub(/\\/, "\\\\", s)
    gsub(/"/, "\\\"", s)
    return "\"" s "\""
}
BEGIN {
    print "/* Made from reports/queries by reports/embed.awk. */"
    print "#include \"reports/query.h\"\n"
    print "const struct clsa_named_query clsa_named_queries[] = {"
}
FNR == 1 {
    if (count++)
        print "    },"
    name = FILENAME
    sub(/.*\//, "", name)
    sub(/\.sql$/, "", name)
    title = $0
    sub(/^-- */, "", title)
    print "    {" quote(name) ", " quote(title) ","
}
{ print "     " quote($0) "\"\\n\"" }
END {
    if (count)
        print "    },"
    print "};"
    print "const size_t clsa_named_query_count = " count + 0 ";"
}
