# The man page and the completion script are the program's own output (clsa help), committed so that
# they install without running it; tests/cli/help.sh holds them against the program.
dist_man_MANS += man/clsa.1
completionsdir = $(datadir)/bash-completion/completions
dist_completions_DATA = man/completions/clsa

# Writes again what is committed and follows from the program. Look at the diff before committing.
.PHONY: bless
bless: clsa
	./clsa help --man >$(srcdir)/man/clsa.1
	./clsa help --completion >$(srcdir)/man/completions/clsa
	CLSA_DATA_PATH=$(srcdir) ./clsa bench 2>/dev/null >$(srcdir)/tests/cli/signature.txt
