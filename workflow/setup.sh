#!/usr/bin/env bash
# Makes .venv from requirements.lock and looks for TeX.  Safe to interrupt and to run again; done in a moment when
# nothing has changed.  PYTHON names the interpreter to use (3.11 or newer); TORCH_INDEX names a package index to
# take torch from, such as PyTorch's index of CPU builds, which saves gigabytes on Linux.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/setup.stamp
log=.venv/setup.log
tex_packages="texlive-latex-recommended texlive-latex-extra texlive-fonts-recommended texlive-science latexmk lmodern"

fail() {
    echo "set-up: $*" >&2
    exit 1
}

# Run a command with its output in the log; one line shows what is done and for how long.
step() {
    local label=$1 start=$SECONDS
    shift
    echo "== $label" >>"$log"
    set -m # a process group of its own, so that an interrupt ends all of it
    "$@" >>"$log" 2>&1 </dev/null &
    local job=$!
    set +m
    trap 'kill -- -$job 2>/dev/null; exit 130' INT TERM
    if [ -t 1 ]; then
        while kill -0 $job 2>/dev/null; do
            printf '\r\033[Kset-up: %s ... %d s' "$label" $((SECONDS - start))
            sleep 1
        done
        printf '\r\033[K'
    else
        echo "set-up: $label ..."
    fi
    if ! wait $job; then
        tail -n 20 "$log" >&2
        return 1
    fi
    trap - INT TERM
    echo "set-up: $label, $((SECONDS - start)) s"
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "needs Python 3.11 or newer; name it with PYTHON=/path/to/python3"
}

# Some systems ship Python without ensurepip: then the system's pip fills the environment from outside.
make_venv() {
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv --clear .venv
    elif "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --clear --without-pip .venv
    else
        fail "$python has neither ensurepip nor pip (Debian: apt-get install python3-venv python3-pip)"
    fi
}

install() {
    if .venv/bin/python -m pip --version >/dev/null 2>&1; then
        .venv/bin/python -m pip install --disable-pip-version-check --no-input "$@"
    else
        "$python" -m pip --python .venv/bin/python install --disable-pip-version-check --no-input "$@"
    fi
}

python_environment() {
    local want
    want=$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)
    if [ "$(cat $stamp 2>/dev/null)" = "$want $PWD" ]; then
        return
    fi
    python=$(find_python)
    rm -f $stamp
    if ! .venv/bin/python -c '' 2>/dev/null || [ "$(.venv/bin/python -c 'import sys; print(sys.prefix)')" != "$PWD/.venv" ]; then
        make_venv
    fi
    : >"$log"
    # torch first, with what its build asks for, in the lock's versions where the lock has them
    step "torch (step 1 of 3; all output in $log)" \
        install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --constraint requirements.lock torch==2.13.0
    step "the packages of requirements.lock (step 2 of 3)" install --no-deps --requirement requirements.lock
    step "the package itself (step 3 of 3)" install --no-deps --no-build-isolation --no-index --editable .
    echo "$want $PWD" >$stamp
}

tex_is_there() {
    command -v latexmk >/dev/null && command -v pdflatex >/dev/null \
        && kpsewhich booktabs.sty siunitx.sty microtype.sty lmodern.sty algorithm.sty >/dev/null
}

tex() {
    if tex_is_there; then
        return
    fi
    if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ] && command -v apt-get >/dev/null; then
        log=.venv/setup-tex.log
        # shellcheck disable=SC2086  # a list of names
        step "TeX packages from Debian (all output in $log)" bash -c "export DEBIAN_FRONTEND=noninteractive
            apt-get update && apt-get install --yes --no-install-recommends $tex_packages" || true
        if tex_is_there; then
            return
        fi
    fi
    echo "set-up: no complete TeX found, so the PDF of the report will not be built; everything else will." >&2
    echo "        It needs latexmk and pdflatex. On Debian: apt-get install $tex_packages" >&2
}

python_environment
tex
