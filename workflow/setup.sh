#!/usr/bin/env bash
# Makes .venv from requirements.lock and looks for TeX.  Safe to interrupt and to run again; done in a moment when
# nothing has changed.  PYTHON names the interpreter to use (3.11 or newer); TORCH_INDEX names a package index to
# take torch from, such as PyTorch's index of CPU builds, which saves gigabytes on Linux.
set -euo pipefail
cd "$(dirname "$0")/.."
# settings of the user's that would change what is installed where
unset PYTHONPATH PYTHONHOME
export PYTHONNOUSERSITE=1

stamp=.venv/setup.stamp
log=logs/setup.log
running=logs/setup.pid # the process group of the step that runs
mkdir -p logs
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
    (set -e; "$@") >>"$log" 2>&1 </dev/null &
    local job=$!
    set +m
    echo $job >"$running"
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
        rm -f "$running"
        tail -n 20 "$log" >&2
        return 1
    fi
    trap - INT TERM
    rm -f "$running"
    echo "set-up: $label, $((SECONDS - start)) s"
}

# In PATH a colon begins another folder; the scripts in .venv/bin hold the folder's name as a shell reads it.
check_folder() {
    case $PWD in
        *:* | *$'\n'*) fail "the name of no folder above may hold a colon or a line break, as in $PWD" ;;
        *[\"\$\`\\]*) echo "set-up: in a folder of this name .venv/bin/replicate fails; use: python -m replication" ;;
    esac
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

# Pip takes from the user's settings where packages come from and how they are reached, and nothing else.
pip_settings() {
    local taken='index-url extra-index-url find-links trusted-host cert client-cert proxy timeout default-timeout retries'
    taken+=' cache-dir'
    local name setting files
    files=$("$python" -m pip config debug 2>/dev/null | sed -n 's/^ *\(.*\), exists: True$/\1/p' || true)
    for name in $(compgen -e | grep '^PIP_' || true); do
        setting=$(tr 'A-Z_' 'a-z-' <<<"${name#PIP_}")
        case " $taken config-file " in *" $setting "*) ;; *) unset "$name" ;; esac
    done
    while IFS='=' read -r name setting; do
        [ -n "${!name:-}" ] || export "$name=$setting"
    done < <("$python" -c '
import configparser, sys
settings = configparser.RawConfigParser()
settings.read(path for path in "\n".join(sys.argv[2:]).splitlines() if path)
for name in sys.argv[1].split():
    for section in ("install", "global"):
        if value := settings.get(section, name, fallback=""):
            print("PIP_" + name.upper().replace("-", "_"), " ".join(value.split()), sep="=")
            break
' "$taken" "$files" "${PIP_CONFIG_FILE:-}")
    export PIP_CONFIG_FILE=/dev/null
}

install() {
    if .venv/bin/python -m pip --version >/dev/null 2>&1; then
        .venv/bin/python -m pip install --disable-pip-version-check --no-input "$@"
    else
        "$python" -m pip --python .venv/bin/python install --disable-pip-version-check --no-input "$@"
    fi
}

# Is .venv finished, and was it made in this folder?  The scripts in .venv/bin hold the folder's name, so a moved or copied
# checkout needs an environment of its own.
finished_here() {
    [ "$(sed -n 2p $stamp 2>/dev/null)" = "$PWD" ] && .venv/bin/python -c '' 2>/dev/null
}

# A set-up that was killed may have left a pip at work in .venv.
end_what_was_left() {
    local group
    group=$(cat "$running" 2>/dev/null) || return 0
    if ps -A -o pgid=,command= | awk -v group="$group" '$1 == group' | grep -qF .venv; then
        kill -9 -- "-$group" 2>/dev/null || true
    fi
    rm -f "$running"
}

python_environment() {
    local want
    want=$(cat requirements.in requirements.lock pyproject.toml | cksum)
    if [ "$(cat $stamp 2>/dev/null)" = "$want
$PWD" ]; then
        return
    fi
    end_what_was_left
    python=$(find_python)
    if finished_here; then
        echo "set-up: the requirements have changed; .venv is brought up to date"
    else
        # An environment without a stamp was interrupted: what it holds cannot be trusted, so it is made again.
        [ ! -e .venv ] || echo "set-up: .venv is unfinished or of another folder; it is made again"
        : >"$log"
        rm -rf .venv
        step "a virtual environment (all output in $log)" make_venv
    fi
    rm -f $stamp
    pip_settings
    # --require-hashes: a file whose SHA-256 is not in the lock is refused
    step "the packages of requirements.lock (step 1 of 3)" \
        install --no-deps --require-hashes --requirement requirements.lock
    # torch with what its build asks for, in the lock's versions where the lock has them
    sed -n 's/^\([A-Za-z0-9._-]*==[^ ;]*\).*/\1/p' requirements.lock >logs/constraints.txt
    step "torch (step 2 of 3)" install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
        --constraint logs/constraints.txt "$(sed -n '/^torch==/p' requirements.in)"
    step "the packages of this project (step 3 of 3)" install --no-deps --no-build-isolation --no-index --editable .
    printf '%s\n%s\n' "$want" "$PWD" >$stamp.new
    mv $stamp.new $stamp
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
        log=logs/setup-tex.log
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

check_folder
python_environment
tex
