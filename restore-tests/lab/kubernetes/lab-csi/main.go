// A small real CSI driver: volumes and snapshots are folders of a pool. It registers itself with the kubelet. The handle of a snapshot names its
// region, and a driver of another region does not find it, as in a cloud.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const name = "csi.hourglass.test"

var (
	region = flag.String("region", "", "in the handles of snapshots")
	node   = flag.String("node", "", "name of this node")
	pool   = flag.String("pool", "", "folder of volumes and snapshots")
	socket = flag.String("socket", "", "where the driver listens")
	plugin = flag.String("registration", "", "where the kubelet looks for drivers")
)

type driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
	csi.UnimplementedNodeServer
	registration.UnimplementedRegistrationServer
}

// What is known of a snapshot, in a file beside its folder.
type snapshot struct {
	ID, Source string
	Size       int64
	Created    time.Time
}

func volumeFolder(id string) string { return filepath.Join(*pool, "volumes", filepath.Base(id)) }

func snapshotFolder(id string) string {
	return filepath.Join(*pool, "snapshots", filepath.Base(strings.ReplaceAll(id, ":", "_")))
}

// copyFolder copies a folder under a temporary name first, so that a half copy is never taken for a whole one.
func copyFolder(from, to string) error {
	part := to + ".part"
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(filepath.Dir(to), 0o755)); err != nil {
		return err
	}
	if said, err := exec.Command("cp", "--archive", from, part).CombinedOutput(); err != nil {
		return status.Errorf(codes.Internal, "%v: %s", err, said)
	}
	return os.Rename(part, to)
}

func (driver) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: name, VendorVersion: "1"}, nil
}

func (driver) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	var answer csi.GetPluginCapabilitiesResponse
	for _, kind := range []csi.PluginCapability_Service_Type{csi.PluginCapability_Service_CONTROLLER_SERVICE, csi.PluginCapability_Service_VOLUME_ACCESSIBILITY_CONSTRAINTS} {
		service := &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{Type: kind}}
		answer.Capabilities = append(answer.Capabilities, &csi.PluginCapability{Type: service})
	}
	return &answer, nil
}

func (driver) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}

func (driver) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	var answer csi.ControllerGetCapabilitiesResponse
	for _, kind := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
	} {
		call := &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: kind}}
		answer.Capabilities = append(answer.Capabilities, &csi.ControllerServiceCapability{Type: call})
	}
	return &answer, nil
}

func topology() *csi.Topology {
	return &csi.Topology{Segments: map[string]string{"topology." + name + "/node": *node}}
}

func (driver) CreateVolume(_ context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	folder := volumeFolder(r.GetName())
	if _, err := os.Stat(folder); err != nil {
		if from := r.GetVolumeContentSource().GetSnapshot(); from != nil {
			if _, err := os.Stat(snapshotFolder(from.SnapshotId)); err != nil {
				return nil, status.Errorf(codes.NotFound, "there is no snapshot %s in region %s", from.SnapshotId, *region)
			}
			err = copyFolder(snapshotFolder(from.SnapshotId), folder)
		} else {
			// Any user of a pod may write; what the mask would take away is given again.
			err = errors.Join(os.MkdirAll(folder, 0o777), os.Chmod(folder, 0o777))
		}
		if err != nil {
			return nil, err
		}
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId:           r.GetName(),
		CapacityBytes:      r.GetCapacityRange().GetRequiredBytes(),
		ContentSource:      r.GetVolumeContentSource(),
		AccessibleTopology: []*csi.Topology{topology()},
	}}, nil
}

func (driver) DeleteVolume(_ context.Context, r *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	return &csi.DeleteVolumeResponse{}, os.RemoveAll(volumeFolder(r.VolumeId))
}

func (driver) ValidateVolumeCapabilities(_ context.Context, r *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	confirmed := &csi.ValidateVolumeCapabilitiesResponse_Confirmed{VolumeCapabilities: r.VolumeCapabilities}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: confirmed}, nil
}

func (s snapshot) answer() *csi.Snapshot {
	return &csi.Snapshot{SnapshotId: s.ID, SourceVolumeId: s.Source, SizeBytes: s.Size, CreationTime: timestamppb.New(s.Created), ReadyToUse: true}
}

func readSnapshot(file string) (s snapshot, err error) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	return s, err
}

func (driver) CreateSnapshot(_ context.Context, r *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	id := *region + ":" + r.GetName()
	folder := snapshotFolder(id)
	if known, err := readSnapshot(folder + ".json"); err == nil {
		return &csi.CreateSnapshotResponse{Snapshot: known.answer()}, nil
	}
	if _, err := os.Stat(volumeFolder(r.SourceVolumeId)); err != nil {
		return nil, status.Errorf(codes.NotFound, "there is no volume %s", r.SourceVolumeId)
	}
	if err := errors.Join(os.RemoveAll(folder), copyFolder(volumeFolder(r.SourceVolumeId), folder)); err != nil {
		return nil, err
	}
	made := snapshot{ID: id, Source: r.SourceVolumeId, Created: time.Now()}
	err := filepath.Walk(folder, func(_ string, file fs.FileInfo, err error) error {
		if err == nil && file.Mode().IsRegular() {
			made.Size += file.Size()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(made)
	if err != nil {
		return nil, err
	}
	return &csi.CreateSnapshotResponse{Snapshot: made.answer()}, os.WriteFile(folder+".json", text, 0o644)
}

func (driver) DeleteSnapshot(_ context.Context, r *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	folder := snapshotFolder(r.SnapshotId)
	return &csi.DeleteSnapshotResponse{}, errors.Join(os.RemoveAll(folder+".json"), os.RemoveAll(folder))
}

func (driver) ListSnapshots(_ context.Context, r *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	files, err := filepath.Glob(filepath.Join(*pool, "snapshots", "*.json"))
	var answer csi.ListSnapshotsResponse
	for _, file := range files {
		known, err := readSnapshot(file)
		if err != nil || (r.SnapshotId != "" && r.SnapshotId != known.ID) || (r.SourceVolumeId != "" && r.SourceVolumeId != known.Source) {
			continue
		}
		answer.Entries = append(answer.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: known.answer()})
	}
	return &answer, err
}

func (driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: *node, AccessibleTopology: topology()}, nil
}

func (driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{}, nil
}

func (driver) NodePublishVolume(_ context.Context, r *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	if exec.Command("mountpoint", "--quiet", r.TargetPath).Run() == nil {
		return &csi.NodePublishVolumeResponse{}, nil
	}
	if err := os.MkdirAll(r.TargetPath, 0o755); err != nil {
		return nil, err
	}
	if err := syscall.Mount(volumeFolder(r.VolumeId), r.TargetPath, "", syscall.MS_BIND, ""); err != nil {
		return nil, status.Errorf(codes.Internal, "mounting %s: %v", r.VolumeId, err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (driver) NodeUnpublishVolume(_ context.Context, r *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	for syscall.Unmount(r.TargetPath, 0) == nil {
	}
	// Not with what is below: if it is still mounted, that is the data.
	if err := os.Remove(r.TargetPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, status.Errorf(codes.Internal, "unmounting %s: %v", r.VolumeId, err)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

func (driver) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{Type: registration.CSIPlugin, Name: name, Endpoint: *socket, SupportedVersions: []string{"1.0.0"}}, nil
}

func (driver) NotifyRegistrationStatus(_ context.Context, r *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	log.Printf("registered: %v %s", r.PluginRegistered, r.Error)
	return &registration.RegistrationStatusResponse{}, nil
}

func listen(path string) net.Listener {
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.RemoveAll(path)); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func main() {
	flag.Parse()
	log.SetOutput(os.Stderr)
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, request any, call *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		answer, err := handle(ctx, request)
		if err != nil {
			log.Printf("%s: %v", call.FullMethod, err)
		}
		return answer, err
	}))
	csi.RegisterIdentityServer(server, driver{})
	csi.RegisterControllerServer(server, driver{})
	csi.RegisterNodeServer(server, driver{})
	listener := listen(*socket)
	kubelet := grpc.NewServer()
	registration.RegisterRegistrationServer(kubelet, driver{})
	go func() { log.Fatal(kubelet.Serve(listen(*plugin))) }()
	log.Fatal(server.Serve(listener))
}
