# make            the binary ./bitnet              make test      every test, under five minutes
# make install    PREFIX=/usr/local DESTDIR=       make clean
# make CC=clang, make SAN=address,undefined test, make CC=aarch64-linux-gnu-gcc RUN=qemu-aarch64 test
PREFIX ?= /usr/local
CFLAGS ?= -O2
SAN    ?=
RUN    ?=

# All cores, unless the command line says otherwise, or something is to be built after `clean`.
ifeq ($(filter -j%,$(MAKEFLAGS))$(filter clean,$(MAKECMDGOALS)),)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
endif

ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
comma := ,
OUT  := build/$(ARCH)-$(notdir $(firstword $(CC)))$(addprefix -,$(subst $(comma),-,$(SAN)))
MUST := -std=c11 -D_DEFAULT_SOURCE -D_FILE_OFFSET_BITS=64 -I. -ffp-contract=off -pthread -Wall -Wextra \
        -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes

# Neither results nor the CPUs that the binary runs on are a matter of CFLAGS: what changes the order
# or the rounding of float operations, and what raises the CPU of files that are for all of them.
ROUNDING := -ffast-math -Ofast -funsafe-math-optimizations -fassociative-math -freciprocal-math \
            -ffinite-math-only -fno-signed-zeros -fapprox-func -ffp-model=% -ffp-contract=fast \
            -ffp-contract=on -ffp-eval-method=% -fexcess-precision=% -fsingle-precision-constant \
            -fdenormal-fp-math=% -mfpmath=% -mrecip% -mdaz-ftz
TARGET   := -march=% -mcpu=% -m32 -mx32 -mavx% -mfma% -msse% -mf16c -mbmi% -mlzcnt -mpopcnt -mmovbe \
            -mgfni -mvaes -mvpclmulqdq -mamx%
BASE     := -march=x86-64 -march=armv8-a -msse -msse2
REFUSED  := $(filter-out $(BASE),$(filter $(ROUNDING) $(TARGET),$(CC) $(CFLAGS)))
$(if $(REFUSED),$(error CFLAGS must not change results or target: leave out $(REFUSED); the kernels \
    of each CPU are built with flags of their own, and chosen when the program starts))

# One file per tier, named TIER_*.c, built with that tier's flags only.
TIERS_x86_64  := avx2 avx512 zen4
TIERS_aarch64 := neon neondot neoni8mm
TIERS_arm64   := $(TIERS_aarch64)
ISA_avx2      := -mavx2 -mf16c
ISA_avx512    := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx512vbmi \
                 -mavx512vpopcntdq -mavx512bitalg
ISA_zen4      := $(ISA_avx512) -mavx512vbmi2
ISA_neondot   := -march=armv8.2-a+dotprod
ISA_neoni8mm  := -march=armv8.2-a+dotprod+i8mm
ALL_TIERS     := avx2 avx512 zen4 neon neondot neoni8mm
OTHER_TIERS   := $(filter-out $(TIERS_$(ARCH)),$(ALL_TIERS))

# The unrolled kernels of a tier take clang a minute each under its undefined-behaviour sanitizer, and
# gcc seconds: they are left to gcc's.
TIER     = $(filter $(ALL_TIERS),$(firstword $(subst _, ,$(*F))))
LEFT     = $(if $(and $(findstring clang,$(CC)),$(TIER)),undefined)
CHECKS   = $(filter-out $(LEFT),$(subst $(comma), ,$(SAN)))
SANITIZE = $(addprefix -fsanitize=,$(CHECKS)) $(if $(CHECKS),-fno-sanitize-recover=all)

KERNELS := $(filter-out $(foreach t,$(OTHER_TIERS),kernels/$(t)_%.c),$(wildcard kernels/*.c))
SOURCES := $(KERNELS) $(filter-out src/main.c,$(wildcard src/*.c)) $(wildcard tools/*.c)
OBJECTS := $(SOURCES:%.c=$(OUT)/%.o)
TESTS   := $(patsubst tests/%.c,$(OUT)/tests/%,$(wildcard tests/test_*.c tests/check_*.c))

# gcc reads immintrin.h for longer than it compiles most files: precompiled, once a tier is enough.
X86 := $(if $(findstring Free Software,$(shell $(CC) --version)),$(filter avx2 avx512,$(TIERS_$(ARCH))))
X86_H = $(if $(filter $(X86),$(TIER)),-include $(OUT)/$(TIER)/x86.h)

# What waits for people and disks is built with -Og where CFLAGS says -O2: that leaves out what takes a
# compiler longest, a tenth of a build.
HOT_TOOLS := $(addprefix tools/,blocks.c encode.c gguf_types.c quantize.c recode.c survey.c synth.c)
COLD  := $(wildcard src/args*.c src/cmd*.c) $(filter-out $(HOT_TOOLS),$(wildcard tools/*.c)) \
         $(addprefix src/,arena.c bnp.c bnp_write.c lineedit.c machine.c main.c map.c model.c progress.c \
                          template.c) kernels/dispatch.c kernels/selftest.c
FLAGS = $(if $(filter $<,$(COLD)),$(CFLAGS:-O2=-Og),$(CFLAGS))

bitnet: $(OUT)/bitnet
	cp $< $@

# Objects depend on a file of the flags, which is written when they are not those of the last time.
# What was built with other flags can be installed without saying them again.
USED := $(CC) $(CFLAGS)
ifneq ($(filter-out install,$(or $(MAKECMDGOALS),bitnet)),)
ifneq ($(shell cat $(OUT)/flags 2>/dev/null),$(strip $(USED)))
.PHONY: $(OUT)/flags
endif
endif
$(OUT)/flags:
	@mkdir -p $(@D) && printf '%s\n' '$(subst ','\'',$(strip $(USED)))' >$@

$(OUT)/bitnet: $(OUT)/src/main.o $(OUT)/libbitnet.a
	$(CC) $(CFLAGS) $(MUST) $(SANITIZE) -o $@ $^ -lm

$(OUT)/libbitnet.a: $(OBJECTS)
	rm -f $@ && $(AR) rcs $@ $^

$(OUT)/%.o: %.c Makefile $(OUT)/flags
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(MUST) $(SANITIZE) $(ISA_$(TIER)) $(X86_H) -MMD -MP -c -o $@ $<

$(OUT)/%/x86.h.gch: Makefile $(OUT)/flags
	@mkdir -p $(@D) && echo '#include <immintrin.h>' >$(@D)/x86.h
	$(CC) $(CFLAGS) $(MUST) $(SANITIZE) $(ISA_$*) -x c-header -o $@ $(@D)/x86.h

$(foreach t,$(X86),$(eval $(filter $(OUT)/kernels/$(t)_%,$(OBJECTS)): | $(OUT)/$(t)/x86.h.gch))

# The default model is part of the binary.
EMBED := $(wildcard models/stories.bnp)
$(OUT)/src/map.o: MUST += $(if $(EMBED),-DEMBED_MODEL='"$(EMBED)"')
$(OUT)/src/map.o: $(EMBED)

# check_kernels has a file for each family of kernels.
$(OUT)/tests/check_kernels: $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/kernel*.c))

$(OUT)/tests/%: $(OUT)/tests/%.o $(OUT)/libbitnet.a
	$(CC) $(CFLAGS) $(MUST) $(SANITIZE) $(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lm

# A fuzz target alone replays files and mutates its seeds; with SAN=address,undefined,fuzzer-no-link
# and clang it is driven by libFuzzer. See tests/long_fuzz.sh.
FUZZERS := $(filter-out %/fuzz_main,$(patsubst tests/%.c,$(OUT)/tests/%,$(wildcard tests/fuzz_*.c)))
DRIVER  := $(if $(findstring fuzzer,$(SAN)),,$(OUT)/tests/fuzz_main.o)
$(FUZZERS): $(DRIVER)
$(FUZZERS): LINK := $(if $(DRIVER),,-fsanitize=fuzzer)

fuzzers: $(FUZZERS)

# Counts allocations: see the test.
$(OUT)/tests/test_alloc: LINK := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign

tests: $(TESTS) $(FUZZERS) $(OUT)/tests/pty_run

test: $(OUT)/bitnet tests
	OUT=$(OUT) RUN="$(RUN)" sh tests/run.sh

# Man pages and completions come out of the binary, from the table that its parser reads.
# All that is installed can be read by everyone, whatever the umask of who installs.
SHARE := $(DESTDIR)$(PREFIX)/share
PUT    = $(RUN) ./bitnet help $(1) >"$(SHARE)/$(2)" && chmod 644 "$(SHARE)/$(2)"
install: bitnet
	umask 022 && install -d "$(DESTDIR)$(PREFIX)/bin" "$(SHARE)/man/man1" \
	    "$(SHARE)/bash-completion/completions" "$(SHARE)/zsh/site-functions" \
	    "$(SHARE)/fish/vendor_completions.d"
	install -m 755 bitnet "$(DESTDIR)$(PREFIX)/bin/bitnet"
	$(call PUT,--man,man/man1/bitnet.1)
	for c in $$($(RUN) ./bitnet help --list | tr ' ' -); do \
	    { $(call PUT,--man $$c,man/man1/bitnet-$$c.1); } || exit 1; done
	$(call PUT,--completion bash,bash-completion/completions/bitnet)
	$(call PUT,--completion zsh,zsh/site-functions/_bitnet)
	$(call PUT,--completion fish,fish/vendor_completions.d/bitnet.fish)

clean:
	rm -rf build bitnet

.PHONY: bitnet tests fuzzers test clean install
-include $(wildcard $(OUT)/*/*.d)
